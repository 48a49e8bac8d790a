"""What people read: lines for a terminal, pages for a browser, charts."""
