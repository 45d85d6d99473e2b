"""Who may speak to the provider, and how: HTTPS, users, PAM, certificates, configuration."""
