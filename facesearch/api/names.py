"""People's names: the form in which they are kept, and how long they may be."""

from facesearch.gallery.store.rows import LONGEST_NAME as LONGEST_NAME
from facesearch.gallery.store.rows import clean_name as clean_name
from facesearch.gallery.store.rows import clean_source as clean_source
