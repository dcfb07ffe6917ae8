import gzip

import pytest


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc"])
def test_pages_are_whole_and_their_own(client, path):
    """Each page is HTML under a policy that allows no script but the gateway's own. (R-7)"""
    answer = client.get(path)

    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "://" not in answer.text.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    "name", ["swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js", "docs.js", "redoc.js"]
)
def test_the_documentations_assets_are_local(client, name):
    """Scripts and styles of /docs and /redoc come from the gateway. (R-7)"""
    answer = client.get(f"/docs/assets/{name}")

    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")
    assert "//cdn." not in answer.text


def test_a_file_is_sent_once(client):
    """Who has it gets 304; who takes gzip gets it so. (R-7)"""
    first = client.get("/", headers={"accept-encoding": "gzip"})
    again = client.get("/", headers={"if-none-match": first.headers["etag"]})
    plain = client.get("/", headers={"accept-encoding": "identity"})

    assert first.headers["content-encoding"] == "gzip"
    assert again.status_code == 304
    assert plain.content == first.content
    assert len(gzip.compress(plain.content)) < len(plain.content)


@pytest.mark.parametrize("path", ["/page/none.js", "/page/index.php", "/page/vendor", "/docs/assets/none.js"])
def test_other_files_are_not_there(client, path):
    """A name of no file, or of another kind, is 404. (S-5)"""
    assert client.get(path).status_code == 404
