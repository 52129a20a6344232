"""What people read: HTML, pictures, tables for a terminal, Evidently's drift report."""
