"""Django's migrations: a project of one application, `manage.py migrate` for each step.

    python django_app.py DATABASE FOLDER
"""

import pathlib
import sys

import django
from django.conf import settings
from django.core.management import call_command

from serve import serve

PERSON = '''migrations.CreateModel("People", [
    ("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=100, null=True)),
    ("email", models.TextField(null=True)), ("notes", models.TextField(null=True))],
    options={"db_table": "people"})'''
VISIT = '''migrations.CreateModel("Visit", [
    ("id", models.BigAutoField(primary_key=True)), ("place", models.TextField(null=True)),
    ("at", models.DateTimeField(null=True))], options={"db_table": "visits"})'''

STEPS = {
    "create people": PERSON,
    "create visits": VISIT,
    "add column": 'migrations.AddField("People", "age", models.IntegerField(default=7))',
    "rename column": 'migrations.RenameField("People", "name", "full_name")',
    "swap names": '''migrations.RenameField("People", "email", "tmp"),
        migrations.RenameField("People", "notes", "email"),
        migrations.RenameField("People", "tmp", "notes")''',
    "drop column": 'migrations.RemoveField("People", "notes")',
    "rebuild": 'migrations.AlterField("People", "age", models.FloatField(null=True))',
    "rename table": 'migrations.AlterModelTable("People", "persons")',
    "delete rows": "migrations.RunPython(forward)",
    "drop table": 'migrations.DeleteModel("Visit")',
}

MODULE = '''
from django.db import migrations, models

def forward(apps, schema_editor):
    people = apps.get_model("shop", "People")
    for person in people.objects.all():
        if person.id % 3 == 0:
            person.delete()
        else:
            person.full_name = (person.full_name or "") + "!"
            person.save()

class Migration(migrations.Migration):
    dependencies = [{dependency}]
    operations = [{operations}]
'''

database, folder = sys.argv[1], pathlib.Path(sys.argv[2])
package = folder / "shop" / "migrations"
package.mkdir(parents=True)
for made in (folder / "shop", package):
    (made / "__init__.py").write_text("")
sys.path.insert(0, str(folder))
settings.configure(
    INSTALLED_APPS=["shop"], USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}})
django.setup()
names = []


def do(step):
    name = f"{len(names) + 1:04}_{step.replace(' ', '_')}"
    dependency = f'("shop", "{names[-1]}")' if names else ""
    (package / f"{name}.py").write_text(MODULE.format(dependency=dependency, operations=STEPS[step]))
    call_command("migrate", "shop", verbosity=0)
    names.append(name)


serve(do)
