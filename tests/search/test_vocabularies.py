"""The sealed vocabulary: made when it is used, brought further step by step, cleaned, erased."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from chathistory import registry
from chathistory.actions import accounts, erase, jobs, messages, purge, sessions, vocabularies
from chathistory.exceptions import Damaged
from chathistory.models import Account, Change, Message, Session, Vocabulary
from chathistory.search import learned
from chathistory.search.find import search
from chathistory.search.tokens import forms
from tests.actions.asked import Asked
from tests.search import brute


def account_of(user) -> Account:
    return Account.objects.get(user=user)


def opened(user) -> learned.Learned:
    account = account_of(user)
    return learned.open_row(Vocabulary.objects.get(account=account), account)


def words_of(user) -> dict[str, int]:
    found = opened(user).words
    return {word: count for some in found.chunks() for word, count in some}


def counted(user) -> dict[str, int]:
    """Count the words of what a person may read, all of it their own."""
    found: dict[str, int] = {}
    for _row, text in brute.opened(user):
        for form in set().union(*map(forms, text.split())):
            found[form] = found.get(form, 0) + 1
    return found


def finish(user) -> None:
    account = account_of(user)
    assert learned.finish(account, lambda: None)


def test_it_is_made_by_the_first_search_that_needs_it(alice, talk):
    talk("a zebra", "the zebra", title="Lions")
    search(alice, "zebra")
    assert not Vocabulary.objects.exists()
    search(alice, "ze*")
    assert words_of(alice) == {"a": 1, "lions": 0, "the": 1, "zebra": 2}
    row = Vocabulary.objects.get()
    account = account_of(alice)
    assert row.mark == row.checked == account.seq
    assert not Change.objects.filter(table="vocabulary").exists()
    search(alice, "ze*")
    assert Vocabulary.objects.get().revision == row.revision == 1


def test_it_goes_on_from_where_it_was(alice, talk, monkeypatch):
    session = talk("a zebra")
    search(alice, "ze*")
    messages.append(session, alice, "user", "zenith")
    assert len(search(alice, "zen*").hits) == 1
    assert "zenith" not in words_of(alice)  # a few are read again each time
    monkeypatch.setattr(learned, "REFRESH", 1)
    messages.append(session, alice, "user", "a zoo")
    search(alice, "zo*")
    assert words_of(alice) == {"a": 2, "zebra": 1, "zenith": 1, "zoo": 1}


def test_one_search_reads_so_much_and_the_job_reads_the_rest(alice, bob, talk, monkeypatch):
    monkeypatch.setattr(learned, "STEP", 3)
    monkeypatch.setattr(learned, "REFRESH", 3)
    monkeypatch.setattr(learned, "_SAVED", 4)
    talk(*(f"zebra{number} the" for number in range(11)), title="A", metadata={"x": "metal"})
    talk("zebu", user=bob)
    search(alice, "ze*")
    assert len(words_of(alice)) < 8
    told = []
    work = Asked(accounts.system())
    monkeypatch.setattr(work, "step", lambda *done: told.append(done))
    assert registry.KINDS["vocabulary"].function(work) == {"complete": 1, "left": 0}
    assert len(told) > 2
    expected = {f"zebra{number}": 1 for number in range(11)}
    assert words_of(alice) == expected | {"the": 11, "a": 0, "metal": 0}
    assert registry.KINDS["vocabulary"].function(work) == {"complete": 0, "left": 0}
    assert not Vocabulary.objects.filter(account__user=bob).exists()


def test_the_job_is_started_by_beat(alice, talk):
    assert registry.BEATS["vocabulary"].every <= 300
    assert jobs.beat("vocabulary")


def test_many_messages_of_one_change_are_all_read(alice, talk, monkeypatch):
    monkeypatch.setattr(learned, "STEP", 2)
    talk(*(f"zebra{number}" for number in range(7)))
    account = account_of(alice)
    Message.objects.update(changed=account.seq)
    search(alice, "ze*")
    finish(alice)
    assert set(words_of(alice)) == {f"zebra{number}" for number in range(7)}


def test_a_message_that_was_only_moved_is_not_counted_again(alice, talk):
    talk("a zebra", "zebra")
    search(alice, "ze*")
    account = account_of(alice)
    finish(alice)
    Message.objects.update(changed=account.seq + 1)
    Account.objects.filter(pk=account.pk).update(seq=account.seq + 1)
    finish(alice)
    assert words_of(alice) == {"a": 1, "zebra": 2}


def test_a_row_that_does_not_open_is_made_anew(alice, talk):
    talk("a zebra")
    search(alice, "ze*")
    Vocabulary.objects.update(words=b"x" * 40)
    with pytest.raises(Damaged):
        opened(alice)
    assert len(search(alice, "ze*").hits) == 1
    account = account_of(alice)
    learned.save(account, learned.of(account))
    assert words_of(alice) == {"a": 1, "zebra": 1}


def test_who_comes_second_does_not_overwrite(alice, talk):
    talk("a zebra")
    search(alice, "ze*")
    account = account_of(alice)
    known = opened(alice)
    assert learned.save(account, known).revision == 2
    assert learned.save(account, known) is None


def test_a_vocabulary_of_a_key_that_was_replaced_is_not_written(alice, talk):
    talk("a zebra")
    search(alice, "ze*")
    account, known = account_of(alice), opened(alice)
    Account.objects.update(key_version=2)
    assert learned.save(account, known) is None


# What is said no more


def swept() -> None:
    with time_machine.travel(timezone.now() + timedelta(days=40), tick=True):
        purge.sweep(Asked(accounts.system()))


def test_after_a_purge_its_words_are_in_no_vocabulary(alice, bob, talk, invite):
    gone, stays = talk("unique zebra", title="Peculiar", metadata={"x": "metal"}), talk("a zebra")
    invite(gone, bob)
    talk("unique bird", user=bob)
    for user in (alice, bob):
        search(user, "ze*")
    sessions.delete(gone, alice)
    assert {"unique", "peculiar", "metal"} <= words_of(alice).keys()
    purge.purge(Session.objects.get(pk=gone.pk), alice)
    swept()
    assert words_of(alice) == counted(alice) == {"a": 1, "zebra": 1}
    assert words_of(bob) == {"unique": 1, "bird": 1}
    assert [hit.session.pk for hit in search(alice, "ze*").hits] == [stays.pk]
    assert search(alice, "uni*").hits == []
    assert search(alice, "unqiue").did_you_mean is None


def test_after_the_trash_is_emptied_too(alice, talk):
    session = talk("unique zebra", "a lion")
    search(alice, "ze*")
    messages.delete(session.messages.get(seq=1), alice)
    swept()
    assert words_of(alice) == {"a": 1, "lion": 1}


def test_edited_words_and_old_titles_go_with_the_next_run(alice, talk):
    session = talk("unique zebra", "a zebra", title="Peculiar")
    search(alice, "ze*")
    messages.edit(session.messages.get(seq=1), alice, "a lion")
    sessions.rename(Session.objects.select_related("account").get(), alice, "Other")
    search(alice, "li*")
    swept()
    finish(alice)
    assert words_of(alice) == {"a": 2, "lion": 1, "other": 0, "zebra": 1}


def test_nothing_is_looked_through_where_nothing_was_lost(alice, talk, monkeypatch):
    session = talk("a zebra")
    search(alice, "ze*")
    row = Vocabulary.objects.get()
    messages.append(session, alice, "user", "more")
    sessions.delete(session, alice)
    sessions.restore(session, alice)
    sessions.fork(session, alice)
    monkeypatch.setattr(learned, "_still", None)
    swept()
    now = Vocabulary.objects.get()
    assert (now.revision, now.checked) == (row.revision, account_of(alice).seq)


def test_texts_that_wait_for_the_index_keep_their_words(alice, talk):
    session = talk("unique zebra", "a lion")
    search(alice, "ze*")
    messages.edit(session.messages.get(seq=2), alice, "a tiger")
    Message.objects.filter(seq=1).update(indexed=0)
    assert vocabularies.clean(Account.objects.all(), lambda: None) == 1
    assert "unique" in words_of(alice)
    Message.objects.filter(seq=1).update(indexed=1)
    assert vocabularies.clean(Account.objects.all(), lambda: None) == 0
    assert {"unique", "zebra"} <= words_of(alice).keys()
    assert "lion" not in words_of(alice)


def test_a_search_that_writes_meanwhile_is_let_by(alice, talk, monkeypatch):
    session = talk("unique zebra", "a lion")
    search(alice, "ze*")
    messages.edit(session.messages.get(seq=2), alice, "a tiger")
    account, still, turns = account_of(alice), learned._still, []

    def slow(*of):
        turns.append(of)
        if len(turns) == 1:
            learned.save(account, opened(alice))
        return still(*of)

    monkeypatch.setattr(learned, "_still", slow)
    assert vocabularies.clean(Account.objects.all(), lambda: None) == 0
    assert len(turns) == 2
    assert "lion" not in words_of(alice)


def test_an_erased_person_leaves_none_and_no_words_in_others(alice, bob, talk, invite, monkeypatch):
    hers = talk("a zebra")
    invite(hers, bob, "read", "write")
    messages.append(hers, bob, "user", "peculiar bird")
    talk("of his own", user=bob)
    for user in (alice, bob):
        search(user, "ze*")
    assert "peculiar" in words_of(alice)
    his = account_of(bob)
    erase.erase(his, None)
    assert not Vocabulary.objects.filter(account=his).exists()
    assert words_of(alice) == {"a": 1, "zebra": 1}
    with pytest.raises(Damaged):
        learned.save(his, learned.Learned())
    monkeypatch.setattr(learned, "_seal", lambda *_of: b"by a key that a process still has")
    assert learned.save(his, learned.Learned()) is None


# What it is good for


@pytest.mark.django_db(transaction=True)
def test_a_process_keeps_those_it_has_opened(alice, talk, monkeypatch):
    session = talk("a zebra", "zenith")
    search(alice, "ze*")
    loads = []
    load = learned._load
    monkeypatch.setattr(learned, "_load", lambda *of: loads.append(of) or load(*of))
    assert len(search(alice, "ze*").hits) == 2
    messages.append(session, alice, "user", "zen")
    assert len(search(alice, "ze*").hits) == 3
    assert not loads
    learned.forget(account_of(alice))
    assert len(search(alice, "ze*").hits) == 3
    assert len(loads) == 1
    sessions.delete(session, alice)
    purge.purge(Session.objects.get(), alice)
    assert search(alice, "ze*").hits == []
    assert len(loads) == 2


@pytest.mark.django_db(transaction=True)
def test_two_first_searches_at_once_make_one(alice, talk, together):
    talk("a zebra")
    found = together(*[lambda: len(search(alice, "ze*").hits)] * 3)
    assert found == [1, 1, 1]
    assert Vocabulary.objects.count() == 1
