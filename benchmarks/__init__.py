"""Scripts around library calls; each says in its first lines what it costs."""
