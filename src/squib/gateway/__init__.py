"""AWS APIs on the wire: protocols, authentication and authorization of a call, squib's own pages."""
