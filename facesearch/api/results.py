"""What a gallery's methods give back besides answers: each class stands where the work is done, and is named here for typing."""

from facesearch.jobs.build import Built as Built
from facesearch.jobs.care import Exported as Exported
from facesearch.jobs.care import Imported as Imported
from facesearch.jobs.care import Verified as Verified
from facesearch.jobs.encrypt import Encrypted as Encrypted
from facesearch.jobs.erase import Receipt as Receipt
from facesearch.jobs.make_index import IndexMade as IndexMade
from facesearch.jobs.move import Moved as Moved
from facesearch.jobs.reindex import Reindexed as Reindexed
from facesearch.jobs.separation import Apart as Apart
