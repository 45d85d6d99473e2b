"""The Linux side of the ports: what a plan needs of the host, facts of the host, links, images and audit."""
