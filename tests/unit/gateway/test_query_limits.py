"""Forms are decoded before the caller is known: how much of that anybody can have done."""

import pytest

from squib.gateway.wire import query
from squib.model.errors import SerializationException

FORM = {"content-type": query.FORM}


@pytest.mark.parametrize("is_form", [True, False])
def test_too_many_parameters_are_refused_before_they_are_decoded(is_form: bool) -> None:
    def parameters(text: str) -> dict[str, str]:
        return query.parameters(FORM, "", text.encode()) if is_form else query.parameters({}, text, b"")

    most = "&".join(f"p{number}=v" for number in range(query.MAX_PARAMETERS))
    assert len(parameters(most)) == query.MAX_PARAMETERS
    with pytest.raises(SerializationException, match="more than 4096 parameters"):
        parameters(f"{most}&Action=GetCallerIdentity")
