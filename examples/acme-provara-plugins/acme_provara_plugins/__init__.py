"""ACME's plugins for Provara.

Each plugin lives in a module of its own and is re-exported here, so that its entry point,
and every message that names it, reads ``acme_provara_plugins.LoginEventPlugin``.
"""

from acme_provara_plugins.compliance_reducer import ComplianceReducer
from acme_provara_plugins.csv_export import CSVExportPlugin
from acme_provara_plugins.login_event import LoginEventPlugin
from acme_provara_plugins.logout_event import LogoutEventPlugin
from acme_provara_plugins.siem_splunk_export import SplunkExportPlugin

__all__ = [
    "CSVExportPlugin",
    "ComplianceReducer",
    "LoginEventPlugin",
    "LogoutEventPlugin",
    "SplunkExportPlugin",
]
