"""Who may do what, from what is stored: policies found, compiled and kept; decisions asked for in one call.

The rules are `iam/`'s. Everything that must know whether somebody may do something asks here: the gateway for
callers, pollers and destinations for the roles they work with.
"""
