"""Who may: authentication and authorization as pure decisions."""
