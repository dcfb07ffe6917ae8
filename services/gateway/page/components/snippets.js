// The same request as curl, Python and grpcurl. Pictures are named by their files, tokens by ATELIER_TOKEN.
import { token } from '../state/settings.js';
import { addressOf } from '../state/services.js';

/** A word for a POSIX shell. @param {string} text */
export const shellQuote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const json = (value) => JSON.stringify(value);
const formFile = (name) => `@"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

/**
 * @param {string} method @param {string} path
 * @param {{ json?: unknown, request?: unknown, pictures?: [string, File][] }} [body] request: the JSON part of a multipart body
 */
export function curl(method, path, { json: body, request, pictures = [] } = {}) {
  const parts = [`curl -sS ${method === 'GET' ? '' : `-X ${method} `}${shellQuote(location.origin + path)}`];
  if (token.get()) parts.push('-H "Authorization: Bearer $ATELIER_TOKEN"');
  if (body !== undefined) parts.push(`-H 'Content-Type: application/json'`, `-d ${shellQuote(json(body))}`);
  if (request !== undefined) parts.push(`--form-string ${shellQuote(`request=${json(request)}`)}`);
  for (const [part, file] of pictures) parts.push(`-F ${shellQuote(`${part}=${formFile(file.name)}`)}`);
  return parts.join(' \\\n  ');
}

/** A picture inside a message: the name of its file, which the commands read. */
export class PictureFile {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }
}

/**
 * A gRPC call by reflection. Pictures in the message are read from their files.
 * @param {string} service as in 'recommender' @param {string} method full name, as in 'atelier.x.v1.Service/Method'
 * @param {object} message in the protos' JSON form
 */
export function grpcurl(service, method, message) {
  const header = token.get() ? ' -H "authorization: Bearer $ATELIER_TOKEN"' : '';
  const call = (data) => `grpcurl -plaintext${header} -d ${data} ${addressOf(service)} ${method}`;
  const { text, files } = withPlaceholders(message);
  if (!files.length) return call(shellQuote(text));
  const encoded = files.map((name) => `"$(base64 -w0 ${shellQuote(name)})"`).join(' ');
  return `printf ${shellQuote(text)} \\\n  ${encoded} \\\n  | ${call('@')}`;
}

/** The message as a format of printf, and the files whose base64 fills it. */
function withPlaceholders(message) {
  const files = [];
  const mark = (_, value) => {
    if (!(value instanceof PictureFile)) return value;
    files.push(value.name);
    return '\u0000';
  };
  const text = JSON.stringify(message, mark);
  if (!files.length) return { text, files };
  return { text: text.replaceAll('\\', '\\\\').replaceAll('%', '%%').replaceAll('\\\\u0000', '%s'), files };
}

/**
 * A call with Atelier's Python client.
 * @param {{ service: string, module: string, request: string, message: object, call: string }} parts
 *   module and request: where the message type lives; call: the expression whose value is printed
 */
export function python({ service, module, request, message, call }) {
  const client = `${service[0].toUpperCase()}${service.slice(1)}Client`;
  const isSecured = Boolean(token.get());
  const hasFiles = withPlaceholders(message).files.length > 0;
  const security = isSecured ? ', security=ClientSecurity(token=os.environ["ATELIER_TOKEN"])' : '';
  return [
    isSecured && 'import os',
    hasFiles && 'from base64 import b64encode\nfrom pathlib import Path',
    (isSecured || hasFiles) && ' ',
    `from atelier.${service}.v1 import ${module}`,
    'from google.protobuf import json_format',
    `from services.client.${service} import ${client}`,
    isSecured && 'from services.runtime.security import ClientSecurity',
    ' ',
    `request = json_format.ParseDict(${literal(message, 0)}, ${module}.${request}())`,
    `with ${client}("${addressOf(service)}"${security}) as client:`,
    `    print(${call})`,
  ].filter(Boolean).map((line) => line.trimEnd()).join('\n');
}

/** A value as a literal of Python. */
function literal(value, depth) {
  const pad = '    '.repeat(depth + 1);
  const end = '    '.repeat(depth);
  if (value instanceof PictureFile) return `b64encode(Path(${json(value.name)}).read_bytes()).decode()`;
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (value === null || value === undefined) return 'None';
  if (Array.isArray(value)) return value.length ? `[\n${value.map((each) => `${pad}${literal(each, depth + 1)},\n`).join('')}${end}]` : '[]';
  if (typeof value !== 'object') return json(value);
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  if (!entries.length) return '{}';
  return `{\n${entries.map(([key, each]) => `${pad}${json(key)}: ${literal(each, depth + 1)},\n`).join('')}${end}}`;
}

/** A GET of the gateway, with Python's own library. @param {string} path */
export function pythonGet(path) {
  const headers = token.get() ? ', headers={"Authorization": f"Bearer {os.environ[\'ATELIER_TOKEN\']}"}' : '';
  return [
    'import json',
    ...(token.get() ? ['import os'] : []),
    'from urllib.request import Request, urlopen',
    '',
    `with urlopen(Request(${json(location.origin + path)}${headers})) as answer:`,
    '    print(json.load(answer))',
  ].join('\n');
}
