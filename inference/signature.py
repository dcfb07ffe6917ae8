"""What a graph must look like before it runs: its file and its tensors."""

from collections.abc import Iterable

from inference.errors import RefusedModel
from inference.session import GRAPH_SUFFIXES, Session
from model_store.manifest import AttributePreprocessing, ImagePreprocessing, Manifest, TensorSpec


def graph_file(manifest: Manifest) -> str:
    """The name of the graph file that a session opens; the graph itself names the weights beside it.

    Raises RefusedModel: unless there is exactly one.
    """
    suffix = GRAPH_SUFFIXES.get(manifest.format, "")
    graphs = [
        name
        for name, entry in manifest.files.items()
        if suffix and entry.role == "graph" and name.endswith(suffix)
    ]
    if len(graphs) != 1:
        raise RefusedModel(
            f"{manifest.name} has {len(graphs)} files ending in {suffix} with the role graph, expected 1"
        )
    return graphs[0]


def check_signature(session: Session, manifest: Manifest) -> None:
    """Refuse a graph whose inputs or outputs are not those that its manifest names.

    Raises RefusedModel: naming the tensor and both sides.
    """
    for what, actual, declared in (
        ("input", session.inputs, manifest.inputs),
        ("output", session.outputs, manifest.outputs),
    ):
        in_graph, in_manifest = ({spec.name: spec for spec in side} for side in (actual, declared))
        if in_graph.keys() != in_manifest.keys():
            raise RefusedModel(
                f"the graph's {what}s are {listed(in_graph)}, the manifest's {listed(in_manifest)}"
            )
        for name, spec in in_graph.items():
            if not _same(spec, in_manifest[name]):
                sides = f"{_shown(spec)} in the graph, {_shown(in_manifest[name])} in the manifest"
                raise RefusedModel(f"{what} {name} is {sides}")
    _check_roles(manifest)


def _check_roles(manifest: Manifest) -> None:
    """Refuse a manifest whose tensors are not what its preprocessing makes or its output promises."""
    shapes = {spec.name: (spec.dtype, spec.shape[1:]) for spec in manifest.inputs}
    output = next((spec for spec in manifest.outputs if spec.name == manifest.output), None)
    if output is None or output.shape[1:] != (manifest.dimension,):
        raise RefusedModel(f"output {manifest.output} is not a row of {manifest.dimension} numbers an input")
    match manifest.preprocessing:
        case ImagePreprocessing(height=height, width=width):
            expected = [("uint8", (height, width, 3))]
            if list(shapes.values()) != expected:
                raise RefusedModel(f"a graph of pictures takes one input {expected[0]}, not {shapes}")
        case AttributePreprocessing(fields=fields):
            names = {name for field in fields for name in input_names(field.name, multiple=field.multiple)}
            if shapes.keys() != names:
                raise RefusedModel(f"a graph of these fields takes {listed(names)}, not {listed(shapes)}")
        case vectors:
            if list(shapes.values()) != [("float32", (vectors.dimension,))]:
                raise RefusedModel(f"a head takes one float32 row of {vectors.dimension}, not {shapes}")


def input_names(field: str, *, multiple: bool) -> tuple[str, ...]:
    """The graph inputs of one attribute field."""
    return (f"{field}_index_BL", f"{field}_mask_BL") if multiple else (f"{field}_index_B",)


def _same(actual: TensorSpec, declared: TensorSpec) -> bool:
    """Equal types and sizes; a size that varies matches one that varies, whatever its name."""
    sizes = [[size if isinstance(size, int) else None for size in spec.shape] for spec in (actual, declared)]
    return actual.dtype == declared.dtype and sizes[0] == sizes[1]


def _shown(spec: TensorSpec) -> str:
    return f"{spec.dtype}{list(spec.shape)}".replace("'", "")


def listed(names: Iterable[str]) -> str:
    """Names in their order, for a message."""
    return ", ".join(sorted(names)) or "none"
