"""People's names: the form in which they are kept, and how long they may be."""

from facesearch.faces.names import LONGEST_NAME as LONGEST_NAME
from facesearch.faces.names import clean_name as clean_name
from facesearch.faces.names import clean_source as clean_source
