"""What networks and guests' NICs need of the host: links, bridges, dnsmasq, nftables, rates of traffic, addresses learned."""
