"""Forms of the admin that call a verb."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime, ForeignKeyRawIdWidget
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from chathistory import workflows
from chathistory.actions import retention
from chathistory.exceptions import ChatHistoryError
from chathistory.models import Account, RetentionPolicy

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[RetentionPolicy]
else:
    _ModelForm = forms.ModelForm

_HELP = _("A period such as 90m, 1h or 30d; never; or default: as the wider policy says.")


def _workflows() -> list[tuple[str, Any]]:
    return [
        ("", _("every workflow")),
        *((one.name, one.label) for one in workflows.known().values()),
    ]


class PeriodField(forms.CharField):
    """Seconds, written as a period; None is ``default``, and so is no empty value."""

    empty_values = [""]

    def to_python(self, value: Any) -> Any:
        """Return the seconds; what is no period is an error of this field."""
        given = super().to_python(value)
        try:
            return retention.seconds(given) if given else given
        except ChatHistoryError as error:
            raise forms.ValidationError(str(error)) from None

    def prepare_value(self, value: Any) -> Any:
        """Show seconds as a period, and what somebody wrote as it is."""
        return value if isinstance(value, str) else retention.period(value)


def _period(label: Any) -> PeriodField:
    return PeriodField(label=label, help_text=_HELP)


class PolicyForm(_ModelForm):
    """A retention policy. Being valid is to have set it: the verb alone knows what may not be."""

    user: Any = None

    workflow = forms.ChoiceField(choices=_workflows, required=False, label=_("workflow"))
    account = forms.ModelChoiceField(
        Account.objects,
        required=False,
        label=_("account"),
        widget=ForeignKeyRawIdWidget(
            RetentionPolicy._meta.get_field("account").remote_field, admin.site
        ),
    )
    idle_after = _period(_("idle after"))
    archive_after = _period(_("archived after"))
    delete_after = _period(_("in the trash after"))
    trash_for = _period(_("kept in the trash for"))
    pinned_too = forms.NullBooleanField(required=False, label=_("pinned ones too"))
    yes = forms.BooleanField(
        required=False,
        label=_("yes"),
        help_text=_("Even if it moves every session it is about to the trash."),
    )

    class Meta:
        model = RetentionPolicy
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.update({name: getattr(self.instance, name) for name in retention.FIELDS})

    def clean(self) -> dict[str, Any]:
        """Set the policy; what the verb refuses is said at its field."""
        values = super().clean() or {}
        if not self.errors:
            try:
                self.instance = self._set(values)
            except ChatHistoryError as error:
                field = error.data.get("field")
                self.add_error(field if field in self.fields else None, _said(error))
        return values

    def _set(self, values: dict[str, Any]) -> RetentionPolicy:
        old = self.instance
        return retention.set_policy(
            self.user,
            workflow=old.workflow or values.get("workflow", ""),
            account=old.account or values.get("account"),
            yes=values["yes"],
            add=old.pk is None,
            **{name: values[name] for name in retention.FIELDS},
        )


def _said(error: ChatHistoryError) -> str:
    """Return what the verb says, with a link to the policy that is in the way, if one is."""
    if "policy" not in error.data:
        return str(error)
    taken = RetentionPolicy.objects.get(uuid=error.data["policy"])
    url = reverse("admin:chathistory_retentionpolicy_change", args=[taken.pk])
    return format_html('{} <a href="{}">{}</a>', error, url, _("Change that one."))


class RestoreForm(forms.Form):
    """When to go back to, and whose chats: without a person, the whole site."""

    at = forms.SplitDateTimeField(
        label=_("as it was at"),
        widget=AdminSplitDateTime(),
        initial=timezone.now,
        help_text=_("In the time zone that the admin shows times in."),
    )
    user = forms.CharField(
        required=False, label=_("only of"), help_text=_("A user name; nobody: the whole site.")
    )
    session = forms.UUIDField(
        required=False, label=_("only the session"), help_text=_("One session of this user.")
    )

    def clean_at(self) -> datetime:
        """Return the time in UTC, if it has one there."""
        at: datetime = self.cleaned_data["at"]
        try:
            return at.astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError(_("This time is not within the years 1 to 9999.")) from None

    def clean_user(self) -> Any:
        """Find the user by name."""
        users = get_user_model()
        name = self.cleaned_data["user"]
        if not name:
            return None
        found = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()
        if found is None:
            raise forms.ValidationError(_("There is no such user."))
        return found

    def clean(self) -> dict[str, Any]:
        """Refuse a session of nobody, and a time that has not come."""
        values = super().clean() or {}
        if values.get("session") and "user" in values and values["user"] is None:
            self.add_error("user", _("Whose session is it?"))
        if values.get("at") and values["at"] > timezone.now():
            self.add_error("at", _("This time has not come yet."))
        return values

    def wanted(self) -> dict[str, Any]:
        """Return the job's arguments."""
        values = self.cleaned_data
        user, session = values["user"], values["session"]
        return {
            "at": values["at"].isoformat(),
            "user": user.pk if user else None,
            "session": str(session) if session else None,
        }
