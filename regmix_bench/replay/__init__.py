"""Work on a device that is recorded once and replayed, which spares the host launching it."""
