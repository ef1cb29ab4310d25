"""Web pages: security headers, static files, and vendored libraries.

Pages load nothing from elsewhere and need no build: a page is a document, style sheets, and modules from `static/`. The
libraries in `static/vendor/` are unmodified copies from their packages; `VENDOR.toml` lists them.
"""
