"""With a real API server: `make test-kubernetes`, against the cluster of the current kubeconfig."""
