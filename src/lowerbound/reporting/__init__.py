"""What others see: figures and reports, made from results alone."""
