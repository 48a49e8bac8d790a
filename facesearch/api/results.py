"""What a gallery's methods give back besides answers: each class stands where the work is done, and is named
here for typing.
"""

from facesearch.evaluation.separation import Apart as Apart
from facesearch.evaluation.separation import Separation as Separation
from facesearch.gallery.build import Built as Built
from facesearch.gallery.encrypt import Encrypted as Encrypted
from facesearch.gallery.look_again import LookedAgain as LookedAgain
from facesearch.gallery.move import Moved as Moved
from facesearch.gallery.receipts import Receipt as Receipt
from facesearch.gallery.reindex import Reindexed as Reindexed
from facesearch.gallery.transfer import Exported as Exported
from facesearch.gallery.transfer import Imported as Imported
from facesearch.gallery.verify import Verified as Verified
