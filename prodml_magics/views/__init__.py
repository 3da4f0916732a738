"""Results made visible: plain-text tables, HTML cards, static pictures and widgets, all without a network.

Takes plain data (lists, dicts, numbers) and decides nothing: what has drifted or won is said by the caller.
altair, vl-convert, anywidget and ipywidgets are imported here only, and only on use.
"""
