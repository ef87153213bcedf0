"""Transport: HTTP on a Unix socket, and datagrams. Bytes in, one call to the supervisor, bytes out."""
