"""``python -m provara.mcp``: how configurations start the server of the older tool."""

from provara._entry import mcp

if __name__ == "__main__":
    mcp()
