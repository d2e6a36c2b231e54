"""Servers that are not at the other end of a plain connection: TLS, reverse proxies, forward proxies."""
