"""What stands between functions and the host. Runs in the launcher, in fork servers and in sandboxes."""
