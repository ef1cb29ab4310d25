"""Web pages: security headers, static files, and vendored libraries.

Pages load nothing from elsewhere and need no build. `static/vendor/` has unmodified copies; `VENDOR.toml` lists them.
"""
