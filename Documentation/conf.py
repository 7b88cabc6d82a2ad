# SPDX-License-Identifier: GPL-2.0
# Sphinx: 'make docs' builds HTML from these pages. Warnings are errors there.
import logging
import pathlib
import tomllib

_top = pathlib.Path(__file__).resolve().parent.parent
_workspace = tomllib.loads((_top / "Cargo.toml").read_text())["workspace"]

project = "virtio_vfio_pci_rs"
author = "The virtio_vfio_pci_rs authors"
copyright = author
release = _workspace["package"]["version"]

nitpicky = True
highlight_language = "none"
# The index names pages that not every tree has by patterns: 'make bench' makes some.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(
    lambda record: "toctree glob pattern" not in str(record.msg)
)

html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_show_copyright = False
