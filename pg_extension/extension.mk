# The PGXS part of the Makefile beside it; runs in a folder below build/.

source := ../..
extension_version := 0.1.0

core_objects := array.o artifact.o bins.o contributions.o datetime.o dictionary.o encoding.o \
	evaluator.o features.o kernel.o linear.o masks.o parts.o reader.o response.o text.o trees.o \
	vocabulary.o walk.o
glue_objects := cache.o catalogue.o client.o columns.o convert.o elements.o explain.o golden.o \
	known_row.o numeric.o predict.o refuse.o result.o row.o scorer.o sqlml.o support.o versions.o

MODULE_big := sqlml
OBJS := $(core_objects) $(glue_objects)
EXTENSION := sqlml
DATA := sqlml--$(extension_version).sql
PG_CPPFLAGS := -I$(source)/core -I$(source)/src
SHLIB_LINK := -lm

# make installcheck: in a new database of the running server that PGHOST and its like name.
REGRESS := install models predict types errors artifacts prepared
REGRESS_OPTS := --inputdir=$(source)/test --encoding=UTF8 --no-locale

# PL/Python loads the scoring core as a CPython module out of pkglibdir.
PYTHON ?= python3
python_include := $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')
has_plpython := $(wildcard $(shell $(PG_CONFIG) --pkglibdir)/plpython3.so)
WITH_PLPYTHON ?= $(if $(and $(has_plpython),$(wildcard $(python_include)/Python.h)),yes,no)
ifeq ($(WITH_PLPYTHON),yes)
scoring := sqlml_scoring.abi3.so
EXTENSION += sqlml_plpython
DATA_built := sqlml_plpython--$(extension_version).sql
all: $(scoring)
install: install-scoring
uninstall: uninstall-scoring
endif

EXTRA_CLEAN := $(scoring)
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

vpath %.c $(source)/core $(source)/src

# The warnings are ours: the server's may name ones that this compiler lacks. No fused
# multiply-add: it would round otherwise than the estimators do.
warnings := -Wall -Wextra -Wmissing-prototypes -Wdeclaration-after-statement
ifeq ($(STRICT),1)
warnings += -Werror
endif
# The server's own headers do not pass -Wextra.
override CPPFLAGS := $(patsubst -I$(includedir_server),-isystem $(includedir_server),$(CPPFLAGS))
override CFLAGS := $(filter-out -W% -fexcess-precision=%,$(CFLAGS)) $(warnings) -ffp-contract=off

$(OBJS): $(wildcard $(source)/core/*.h $(source)/src/*.h)

# The wheel's module, what only a backend can do, and the conversions of the C extension.
scoring_sources := $(core_objects:.o=.c) $(source)/src/convert.c $(source)/src/elements.c \
	$(source)/src/numeric.c $(wildcard $(source)/python/*.c $(source)/python/server/*.c)
scoring_headers := $(wildcard $(source)/core/*.h $(source)/src/*.h $(source)/python/*.h \
	$(source)/python/server/*.h)

$(scoring): $(scoring_sources) $(scoring_headers)
	$(CC) -shared -fPIC -O2 -std=gnu11 $(warnings) -fvisibility=hidden -ffp-contract=off \
		-DSQLML_SERVER -DPy_LIMITED_API=0x030B0000 -I$(source)/core -I$(source)/src \
		-I$(source)/python -isystem $(includedir_server) -isystem $(python_include) \
		$(filter %.c,$^) -lm -o $@

sqlml_plpython--%.sql: $(source)/sqlml_plpython--%.sql.in
	sed 's|@SCORING@|$(shell $(PG_CONFIG) --pkglibdir)/$(scoring)|g' $< > $@

install-scoring: $(scoring) installdirs
	$(INSTALL_SHLIB) $(scoring) '$(DESTDIR)$(pkglibdir)/$(scoring)'

uninstall-scoring:
	rm -f '$(DESTDIR)$(pkglibdir)/$(scoring)'

.PHONY: install-scoring uninstall-scoring
