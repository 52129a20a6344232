"""Put the configuration reference that the models generate into the documentation: `make docs-reference`."""

from pathlib import Path

from cl.reports.config_reference import configuration_reference

if __name__ == "__main__":
    page = Path(__file__).parent.parent / "docs" / "reference" / "configuration.md"
    start, end = "<!-- reference -->\n", "<!-- end of the reference -->"
    text = page.read_text(encoding="utf-8")
    head, tail = text[: text.index(start) + len(start)], text[text.index(end) :]
    page.write_text(f"{head}\n{configuration_reference().rstrip()}\n\n{tail}", encoding="utf-8")
