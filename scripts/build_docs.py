"""Renders the guides and the notebooks beside the API pages; ``scripts/build_docs.sh`` calls it."""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
from pathlib import Path
from string import Template

import markdown2

ROOT = Path(__file__).resolve().parents[1]
GUIDES = (
    *("README.md", "docs/first-day.md", "docs/installing.md", "docs/findings.md"),
    "docs/verifying.md",
    *("docs/outputs.md", "docs/recorders.md", "docs/histories.md", "docs/lek.md", "docs/model.md"),
    *("docs/operations.md", "docs/cores.md", "docs/slurm.md"),
    *("docs/cloud.md", "docs/flink.md", "docs/benchmarks.md", "docs/scale.md"),
    *("docs/reliability.md", "docs/design.md", "docs/glossary.md"),
    *("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
)
"""In the order of the list beside each page; whatever else is in ``docs`` follows."""
BESIDE = {"LICENSE", "CITATION.cff"}

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { margin: 0 auto; max-width: 75rem; padding: 1rem; display: flex; gap: 2rem;
  font: 1rem/1.5 system-ui, sans-serif; color: #222; }
nav { flex: none; width: 13rem; font-size: .9rem; }
nav a { display: block; padding: .15rem 0; }
nav a[aria-current] { font-weight: bold; color: inherit; }
main { min-width: 0; flex: 1; }
a { color: #176b3a; }
pre { background: #f5f5f2; padding: .7rem; overflow-x: auto; }
code { font-size: .9em; }
pre.output { background: none; border-left: 3px solid #ddd; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid #ddd; padding: .25rem .6rem; text-align: left; vertical-align: top; }
img { max-width: 100%; }
@media (max-width: 50rem) { body { display: block; } nav { width: auto; } }
</style>
<nav>$menu</nav>
<main>$content</main>
</html>
""")


def rendered(markdown: str) -> str:
    """Markdown as HTML, headings with the anchors that links between the guides use."""
    extras = ["fenced-code-blocks", "header-ids", "tables", "cuddled-lists"]
    return str(markdown2.markdown(markdown, extras=extras))


def notebook(text: str) -> str:
    """A notebook as HTML: its cells, and what they printed or drew when it was saved."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(rendered(source))
            continue
        parts.append(f"<pre><code>{html.escape(source)}</code></pre>")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                png = "".join(data["image/png"]).replace("\n", "")
                parts.append(f'<img alt="" src="data:image/png;base64,{png}">')
            elif "text/html" in data:
                parts.append("".join(data["text/html"]))
            elif printed := "".join(output.get("text", data.get("text/plain", ""))):
                parts.append(f'<pre class="output">{html.escape(printed)}</pre>')
    return "\n".join(parts)


def title_of(content: str) -> str:
    """The first heading of a page."""
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", content, re.DOTALL)
    return re.sub(r"<[^>]+>", "", heading[1]) if heading else "Capuchinbird counter"


def address(name: str) -> str:
    """Where a guide's page lies in the site."""
    return "index.html" if name == "README.md" else re.sub(r"\.(md|ipynb)$", ".html", name)


def linked(content: str, name: str, names: set[str]) -> str:
    """A guide whose links lead to the pages of others."""
    folder = Path(name).parent

    def place(match: re.Match[str]) -> str:
        target, mark, anchor = match[1].partition("#")
        if re.match(r"[a-z]+:", target) or not target:
            return match[0]
        file = (ROOT / folder / target).resolve()
        if not file.is_relative_to(ROOT) or not file.exists():
            raise SystemExit(f"scripts/build_docs.py: {name}: no such file: {target}")
        inside = file.relative_to(ROOT).as_posix()
        if inside not in names | BESIDE:
            return ""  # source code, which the site does not hold
        return f'href="{"../" * len(folder.parts)}{address(inside)}{mark}{anchor}"'

    return re.sub(r'href="([^"]*)"', place, content)


def build(site: Path) -> None:
    """Writes all pages."""
    others = sorted(p for end in ("md", "ipynb") for p in (ROOT / "docs").glob(f"*.{end}"))
    more = [path.relative_to(ROOT).as_posix() for path in others]
    names = list(dict.fromkeys([*GUIDES, *more]))
    contents = {}
    for name in names:
        text = (ROOT / name).read_text("utf-8")
        content = notebook(text) if name.endswith(".ipynb") else rendered(text)
        contents[name] = linked(content, name, set(names))
    for name, content in contents.items():
        up = "../" * (len(Path(name).parts) - 1)
        menu = [
            f'<a href="{up}{address(other)}"{" aria-current=page" * (other == name)}>'
            f"{title_of(contents[other])}</a>"
            for other in names
        ]
        menu.append(f'<a href="{up}api/index.html">API</a>')
        page = PAGE.substitute(title=title_of(content), menu="".join(menu), content=content)
        target = site / address(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, "utf-8")
    for file in [*(ROOT / "docs").glob("*.png"), *(ROOT / name for name in BESIDE)]:
        shutil.copy(file, site / file.relative_to(ROOT))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
