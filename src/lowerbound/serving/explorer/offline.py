"""write_offline: the explorer as one HTML file, opened from disk without server or network, with the decoder in it.

    index.html     with inlined style sheets, and its modules as data: URLs in the import map
    blocks         the run's content (offline_payload.py) and ONNX Runtime as WebAssembly, gzipped, in base64
    policy         the browser refuses the page all connections

The module `explorer/source.js`, which sends requests to the server, is replaced by offline_source.js.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.foundation.storage import write_text
from lowerbound.networks.onnx_export import import_onnx
from lowerbound.serving.explorer.offline_payload import payload_of
from lowerbound.serving.explorer.palette_module import NAME as PALETTE
from lowerbound.serving.explorer.palette_module import palette_module

PAGE = Path(__file__).parent / "page"
RUNTIME = "vendor/ort-wasm-simd-threaded.wasm.gz"
NOTICES = "vendor/onnxruntime.ThirdPartyNotices.txt.gz"
LICENCES = "vendor/*.LICENSE.txt"
SOURCE, OFFLINE_SOURCE = "source.js", "offline_source.js"

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' data: blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""Only the page's own scripts and images, and no connections."""

CHARSET = re.compile(r'<meta charset="utf-8">')
IMPORT_MAP = re.compile(r'<script type="importmap">.*?</script>', re.DOTALL)
ENTRY_POINT = re.compile(r'<script type="module">import "explorer/main\.js";?</script>')
STYLE_SHEET = re.compile(r'<link rel="stylesheet" href="/assets/([\w./-]+\.css)">')
IMPORTED = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["']([^"'\s]+)["']""")
SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)
EXTERNAL = re.compile(r"""(?:src|href|action|poster)\s*=\s*["']?(?!data:|#)[^"'\s>]+|url\((?!["']?data:)|@import""")


def write_offline(run: RunPath, out: Path, data_dir: str = "", device: str = "auto", data: str = "") -> Path:
    """Write a run's explorer as one HTML file.

    UsageError without the packages for ONNX export, or for a folder of runs; RunError for a run without a model.
    Unavailable data are not an error: the latents are then those in the results.
    """
    import_onnx()
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give a file, such as {out / 'explorer.html'}.")
    write_text(out, offline_page(run, data_dir, device, data))
    return out


def offline_page(run: RunPath, data_dir: str = "", device: str = "auto", data: str = "") -> str:
    """A run's explorer as the text of one HTML file; raises as `write_offline` does."""
    import_onnx()
    return page_of(payload_of(path_of(run), data_dir, device, data))


def page_of(blocks: Mapping[str, bytes], page: Path = PAGE) -> str:
    """The page in the folder `page` as one file with the gzipped `blocks` in it, by name."""
    html = (page / "index.html").read_text(encoding="utf-8")
    html = STYLE_SHEET.sub(lambda match: _style(page / match[1]), html)
    html = _replaced(
        html, CHARSET, f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    )
    html = _replaced(html, IMPORT_MAP, f'<script type="importmap">{_import_map(page)}</script>')
    _refuse_external(html)
    embedded = {**blocks, "wasm": (PAGE / RUNTIME).read_bytes(), "notices": (PAGE / NOTICES).read_bytes()}
    return _replaced(html, ENTRY_POINT, "\n".join([*_scripts(embedded), *_licences(), _only(html, ENTRY_POINT)]))


def _import_map(page: Path) -> str:
    """The import map: every module of the page by name, as a data: URL."""
    paths = {path.relative_to(page).as_posix(): path for path in sorted(page.rglob("*.*js"))}
    paths[SOURCE] = paths.pop(OFFLINE_SOURCE)
    imports = {f"explorer/{name}": SOURCE_MAP.sub("", path.read_text(encoding="utf-8")) for name, path in paths.items()}
    imports[f"explorer/{PALETTE}"] = palette_module()
    for name, text in imports.items():
        missing = set(IMPORTED.findall(text)) - set(imports)
        if missing and "/vendor/" not in name:
            raise _damaged(f"{name} imports {', '.join(sorted(missing))}, which is missing")
    return json.dumps({"imports": {name: _as_url(text) for name, text in imports.items()}})


def _as_url(module: str) -> str:
    return f"data:text/javascript;base64,{b64encode(module.encode()).decode()}"


def _style(path: Path) -> str:
    # A style element ends at the first closing tag, even inside a string or a comment.
    rules = path.read_text(encoding="utf-8").replace("</", "<\\/")
    return f"<style>\n{rules}</style>"


def _scripts(blocks: Mapping[str, bytes]) -> Iterator[str]:
    for name, content in blocks.items():
        yield f'<script type="application/gzip;base64" id="block-{name}">{b64encode(content).decode()}</script>'


def _licences() -> Iterator[str]:
    """The licences that must accompany every copy of third-party code; the runtime's notices are a block."""
    for path in sorted(PAGE.glob(LICENCES)):
        name = path.name.removesuffix(".LICENSE.txt")
        yield f'<script type="text/plain" id="licence-{name}">\n{path.read_text(encoding="utf-8")}</script>'


def _refuse_external(html: str) -> None:
    match = EXTERNAL.search(html)
    if match:
        raise _damaged(f"it refers to {match[0]!r}, which is not in the file")


def _only(html: str, pattern: re.Pattern[str]) -> str:
    """The only match of a pattern."""
    matches = [match[0] for match in pattern.finditer(html)]
    if len(matches) != 1:
        raise _damaged(f"it contains {pattern.pattern} {len(matches)} times instead of once")
    return matches[0]


def _replaced(html: str, pattern: re.Pattern[str], replacement: str) -> str:
    return html.replace(_only(html, pattern), replacement)


def _damaged(reason: str) -> RunError:
    return RunError(f"the explorer's page cannot be written as one file: {reason}; reinstall lowerbound.")
