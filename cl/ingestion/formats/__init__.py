"""Files as people have them: one module for each format; `cl.ingestion.file_formats` chooses by a file's content."""
