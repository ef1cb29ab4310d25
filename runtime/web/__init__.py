"""Web pages of our own: served with the headers that keep them safe, and with libraries that are kept here.

Nothing is fetched from elsewhere and nothing is built: a page is a document, style sheets and modules as they lie in
`static/`. The libraries in `static/vendor/` are unchanged copies from their packages; `VENDOR.toml` names them.
"""
