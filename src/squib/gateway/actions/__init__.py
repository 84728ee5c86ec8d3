"""What each operation asks permission for: action, resource and condition keys, as AWS's service
authorization reference has them. One module a service, one row an operation; `table` puts them together."""
