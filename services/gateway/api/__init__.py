"""The routes: one module for each thing that a shop, a school or an engineer asks about."""
