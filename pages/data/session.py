"""The view of a session in Python. The page exists in an app that `launch_app` started."""

from labelaudit.app_session import app_folder
from labelaudit.ui import session_view

if folder := app_folder():
    session_view.show(folder)
