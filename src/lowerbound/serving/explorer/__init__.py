"""The explorer: a page that shows the latent loaded of runs, and the routes behind it."""
