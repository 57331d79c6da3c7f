"""The explorer: a page that shows the latent space of runs, and the routes behind it."""
