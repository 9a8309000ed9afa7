"""Gradient clipping, hands on: the small numpy package under the notebooks.

Import from its modules: `from gclip_lessons.clipping import ClipByGlobalNorm`. This file loads nothing, so that
`gclip_lessons.server` costs a Jupyter server nothing.
"""

__version__ = "0.1.0"
