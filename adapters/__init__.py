"""One module or package per platform; the core loads them by name."""
