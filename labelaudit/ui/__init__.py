"""What pages share. The only library room that imports streamlit."""
