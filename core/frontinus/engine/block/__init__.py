"""Work on the disks of a running guest: block jobs, from their begin to their end, and the bitmaps that record writes."""
