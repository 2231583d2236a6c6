"""What the app's pages share. May import every folder except cli.

The only folder that imports streamlit.
"""
