"""Put the configuration reference that the models generate into README.md: `python bench/put_reference.py`."""

from pathlib import Path

from cl.reports.config_reference import configuration_reference

if __name__ == "__main__":
    readme = Path(__file__).parent.parent / "README.md"
    start, end = "<!-- configuration reference -->\n", "<!-- end of the reference -->"
    text = readme.read_text(encoding="utf-8")
    head, tail = text[: text.index(start) + len(start)], text[text.index(end) :]
    readme.write_text(f"{head}{configuration_reference().rstrip()}\n{tail}", encoding="utf-8")
