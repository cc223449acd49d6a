"""Curation: from a pile of images to captions that a metric learns from, in stages that are done once each."""
