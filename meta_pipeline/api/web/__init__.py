"""The web pages; built by WEB, not by PAGES."""
