"""Plugins that keep a Git history in a vault: an event type, a reducer, an export."""

from git_history_plugins.changelog import ChangelogExportPlugin
from git_history_plugins.commit_event import COMMIT, CommitEventPlugin
from git_history_plugins.contributors import ContributorsReducer

__all__ = ["COMMIT", "ChangelogExportPlugin", "CommitEventPlugin", "ContributorsReducer"]
