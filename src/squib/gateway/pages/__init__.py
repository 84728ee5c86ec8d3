"""squib's own pages about accounts and their functions, one module a page. Each is for an account's root."""
