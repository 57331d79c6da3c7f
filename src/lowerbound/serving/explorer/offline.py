"""The explorer as one file, which a browser opens from disk: no server, no network, the decoder in the page.

    index.html     its style sheets put in, its modules as data: URLs in the import map
    blocks         what is carried of the run (see carried.py) and ONNX Runtime as WebAssembly, gzipped, in base64
    a policy       the browser refuses the page every connection

`explorer/source.js` is the module that asks the server; here another one stands under that name.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.storage import write_text
from lowerbound.serving.explorer.offline_payload import blocks_of
from lowerbound.serving.portable.onnx_form import import_onnx

PAGE = Path(__file__).parent / "page"
RUNTIME = "vendor/ort-wasm-simd-threaded.wasm.gz"
NOTICES = "vendor/onnxruntime.ThirdPartyNotices.txt.gz"
LICENCES = "vendor/*.LICENSE.txt"
SOURCE, OFFLINE_SOURCE = "source.js", "offline_source.js"

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' data: blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""Scripts of the page itself alone, pictures that it makes, and no connection to anywhere."""

CHARSET = re.compile(r'<meta charset="utf-8">')
IMPORT_MAP = re.compile(r'<script type="importmap">.*?</script>', re.DOTALL)
ENTRANCE = re.compile(r'<script type="module">import "explorer/main\.js";?</script>')
STYLE_SHEET = re.compile(r'<link rel="stylesheet" href="/assets/([\w./-]+\.css)">')
IMPORTED = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["']([^"'\s]+)["']""")
SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)
ELSEWHERE = re.compile(r"""(?:src|href|action|poster)\s*=\s*["']?(?!data:|#)[^"'\s>]+|url\((?!["']?data:)|@import""")


def write_offline(run: Path, out: Path, data_dir: str = "", device: str = "auto", data: str = "") -> Path:
    """Write a run's explorer as one HTML file.

    UsageError without the packages that an ONNX export takes, or for a folder of runs; RunError for a run without a
    model. Data that are unavailable are not an error: codes are then those that the results hold.
    """
    import_onnx()
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give the name of a file, such as {out / 'explorer.html'}.")
    write_text(out, page_of(blocks_of(run, data_dir, device, data)))
    return out


def page_of(blocks: Mapping[str, bytes], page: Path = PAGE) -> str:
    """The page in `page` as one file; `blocks` are gzipped, and carried by their names."""
    html = (page / "index.html").read_text(encoding="utf-8")
    html = STYLE_SHEET.sub(lambda found: _style(page / found[1]), html)
    html = _with(
        html, CHARSET, f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    )
    html = _with(html, IMPORT_MAP, f'<script type="importmap">{_import_map(page)}</script>')
    _refuse_elsewhere(html)
    carried = {**blocks, "wasm": (PAGE / RUNTIME).read_bytes(), "notices": (PAGE / NOTICES).read_bytes()}
    return _with(html, ENTRANCE, "\n".join([*_scripts(carried), *_licences(), _one(html, ENTRANCE)]))


def _import_map(page: Path) -> str:
    """Every module of the page under its name, as a data: URL."""
    paths = {path.relative_to(page).as_posix(): path for path in sorted(page.rglob("*.*js"))}
    paths[SOURCE] = paths.pop(OFFLINE_SOURCE)
    imports = {f"explorer/{name}": SOURCE_MAP.sub("", path.read_text(encoding="utf-8")) for name, path in paths.items()}
    for name, text in imports.items():
        missing = set(IMPORTED.findall(text)) - set(imports)
        if missing and "/vendor/" not in name:
            raise _damaged(f"{name} imports {', '.join(sorted(missing))}, which is not there")
    return json.dumps({"imports": {name: _as_url(text) for name, text in imports.items()}})


def _as_url(module: str) -> str:
    return f"data:text/javascript;base64,{b64encode(module.encode()).decode()}"


def _style(path: Path) -> str:
    # A style element ends at the first closing tag, wherever that stands.
    rules = path.read_text(encoding="utf-8").replace("</", "<\\/")
    return f"<style>\n{rules}</style>"


def _scripts(blocks: Mapping[str, bytes]) -> Iterator[str]:
    for name, content in blocks.items():
        yield f'<script type="application/gzip;base64" id="carried-{name}">{b64encode(content).decode()}</script>'


def _licences() -> Iterator[str]:
    """What the licences of others' work ask of every copy; the notices of what the runtime is made of are a block."""
    for path in sorted(PAGE.glob(LICENCES)):
        name = path.name.removesuffix(".LICENSE.txt")
        yield f'<script type="text/plain" id="licence-{name}">\n{path.read_text(encoding="utf-8")}</script>'


def _refuse_elsewhere(html: str) -> None:
    found = ELSEWHERE.search(html)
    if found:
        raise _damaged(f"it asks for {found[0]!r}, which is not in the file")


def _one(html: str, wanted: re.Pattern[str]) -> str:
    """The only place that matches."""
    found = [match[0] for match in wanted.finditer(html)]
    if len(found) != 1:
        raise _damaged(f"{wanted.pattern} stands in it {len(found)} times, and should stand there once")
    return found[0]


def _with(html: str, wanted: re.Pattern[str], instead: str) -> str:
    return html.replace(_one(html, wanted), instead)


def _damaged(reason: str) -> RunError:
    return RunError(f"the explorer's page cannot be put in one file: {reason}; install lowerbound again.")
