"""The table of XGBoost's, LightGBM's and CatBoost's models, as `cases` has it for scikit-learn's; rows of a missing library are skipped.

Rows marked `SILENT` are those that onnxmltools 1.16 converts without an error into a file that answers wrongly.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from registry.cases import SILENT, Case, Outcome, scaled
from sklearn import calibration, ensemble, impute, linear_model, preprocessing
from sklearn.pipeline import make_pipeline as pipe

SMALL = {"n_estimators": 20, "max_depth": 4, "n_jobs": 1, "random_state": 0}


def xgb(kind: str, **settings: Any) -> Any:
    return getattr(import_module("xgboost"), kind)(**(SMALL | settings))


def of_xgboost(name: str, kind: str, data: str, outcome: Outcome = "FP32", silent: bool = False, **settings: Any) -> Case:
    return Case(f"{kind} {name}", lambda: xgb(kind, **settings), data, outcome, silent)


def links(kind: str, make: Any, objectives: str) -> list[Case]:
    return [make(objective, kind, "diabetes", objective=objective) for objective in objectives.split()]


XGBOOST = [
    of_xgboost("binary", "XGBClassifier", "cancer"),
    of_xgboost("3 classes", "XGBClassifier", "iris"),
    of_xgboost("10 classes", "XGBClassifier", "digits"),
    of_xgboost("fitted with NaN", "XGBClassifier", "cancer missing"),
    of_xgboost("missing=0", "XGBClassifier", "digits", missing=0),
    of_xgboost("base_score 0.2", "XGBClassifier", "cancer", base_score=0.2),
    of_xgboost("dart", "XGBClassifier", "cancer", booster="dart", rate_drop=0.5),
    of_xgboost("rare", "XGBClassifier", "rare", scale_pos_weight=5),
    of_xgboost("of categories", "XGBClassifier", "levels", "unsupported", enable_categorical=True),
    of_xgboost("gblinear", "XGBClassifier", "cancer", "unsupported", booster="gblinear", max_depth=None),
    of_xgboost("hinge", "XGBClassifier", "cancer", "unsupported", objective="binary:hinge"),
    of_xgboost("random forest", "XGBRFClassifier", "cancer"),
    of_xgboost("random forest", "XGBRFRegressor", "diabetes"),
    of_xgboost("dart", "XGBRegressor", "diabetes", booster="dart", rate_drop=0.5),
    of_xgboost("quantile", "XGBRegressor", "diabetes", objective="reg:quantileerror", quantile_alpha=0.8),
    of_xgboost("logistic", "XGBRegressor", "rare", "FP32", SILENT, objective="reg:logistic"),
    *links("XGBRegressor", of_xgboost, "reg:squarederror reg:absoluteerror count:poisson reg:gamma reg:tweedie"),
    Case("scaler before XGBClassifier", lambda: scaled(xgb("XGBClassifier")), "cancer", "FP64", SILENT),
    Case("scaler before XGBRegressor", lambda: scaled(xgb("XGBRegressor")), "diabetes", "FP64"),
    Case("imputer before XGBClassifier", lambda: pipe(impute.SimpleImputer(), xgb("XGBClassifier")), "cancer missing", "FP32"),
    Case("Calibrated XGBClassifier", lambda: calibration.CalibratedClassifierCV(xgb("XGBClassifier"), cv=2), "cancer", "FP32"),
    Case(
        "Stacking of XGBClassifier",
        lambda: ensemble.StackingClassifier(
            [("a", xgb("XGBClassifier")), ("b", pipe(preprocessing.StandardScaler(), linear_model.LogisticRegression()))], cv=2
        ),
        "cancer",
        "FP32",
    ),
]


def lgbm(kind: str, **settings: Any) -> Any:
    return getattr(import_module("lightgbm"), kind)(**(SMALL | {"verbose": -1} | settings))


def of_lightgbm(name: str, kind: str, data: str, outcome: Outcome = "FP64", silent: bool = False, **settings: Any) -> Case:
    return Case(f"{kind} {name}", lambda: lgbm(kind, **settings), data, outcome, silent)


FOREST = {"boosting_type": "rf", "subsample": 0.7, "subsample_freq": 1}
LIGHTGBM = [
    of_lightgbm("binary", "LGBMClassifier", "cancer"),
    of_lightgbm("3 classes", "LGBMClassifier", "iris"),
    of_lightgbm("10 classes", "LGBMClassifier", "digits"),
    of_lightgbm("text labels", "LGBMClassifier", "cancer text"),
    of_lightgbm("fitted with NaN", "LGBMClassifier", "cancer missing"),
    of_lightgbm("use_missing=False", "LGBMClassifier", "cancer", use_missing=False),
    of_lightgbm("zero_as_missing", "LGBMClassifier", "digits", "FP64", SILENT, zero_as_missing=True),
    of_lightgbm("one against the rest", "LGBMClassifier", "iris", objective="multiclassova"),
    of_lightgbm("sigmoid=2", "LGBMClassifier", "cancer", sigmoid=2.0),
    of_lightgbm("dart", "LGBMClassifier", "cancer", boosting_type="dart"),
    of_lightgbm("random forest", "LGBMClassifier", "cancer", "FP64", SILENT, **FOREST),
    of_lightgbm("random forest", "LGBMRegressor", "diabetes", **FOREST),
    of_lightgbm("goss", "LGBMClassifier", "cancer", data_sample_strategy="goss"),
    of_lightgbm("extra trees", "LGBMClassifier", "cancer", extra_trees=True),
    of_lightgbm("of codes", "LGBMClassifier", "codes", categorical_feature=[0, 1], min_child_samples=3),
    of_lightgbm("of categories", "LGBMClassifier", "levels", min_data_per_group=5, cat_smooth=1.0),
    of_lightgbm("of categories", "LGBMRegressor", "levels", min_data_per_group=5, max_cat_to_onehot=20),
    of_lightgbm("at its thresholds", "LGBMClassifier", "cancer", "FP64", SILENT, n_estimators=100, min_child_samples=2),
    of_lightgbm("linear_tree", "LGBMRegressor", "diabetes", "unsupported", SILENT, linear_tree=True),
    of_lightgbm("reg_sqrt", "LGBMRegressor", "diabetes", "unsupported", reg_sqrt=True),
    of_lightgbm("cross entropy", "LGBMRegressor", "rare", objective="cross_entropy"),
    of_lightgbm("huber", "LGBMRegressor", "diabetes", "FP64", SILENT, objective="huber"),
    *links("LGBMRegressor", of_lightgbm, "regression l1 fair quantile mape poisson gamma tweedie"),
    Case("scaler before LGBMClassifier", lambda: scaled(lgbm("LGBMClassifier")), "cancer", "FP64"),
    Case("imputer before LGBMClassifier", lambda: pipe(impute.SimpleImputer(), lgbm("LGBMClassifier")), "cancer missing", "FP64"),
]


def catboost(kind: str, **settings: Any) -> Any:
    quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
    return getattr(import_module("catboost"), kind)(**({"iterations": 20, "depth": 4} | quiet | settings))


def of_catboost(name: str, kind: str, data: str, outcome: Outcome = "FP32", silent: bool = False, **settings: Any) -> Case:
    return Case(f"{kind} {name}", lambda: catboost(kind, **settings), data, outcome, silent)


CATBOOST = [
    of_catboost("binary", "CatBoostClassifier", "cancer"),
    of_catboost("3 classes", "CatBoostClassifier", "iris"),
    of_catboost("10 classes", "CatBoostClassifier", "digits"),
    of_catboost("text labels", "CatBoostClassifier", "cancer text"),
    of_catboost("fitted with NaN", "CatBoostClassifier", "cancer missing"),
    of_catboost("NaN as the largest", "CatBoostClassifier", "cancer missing", nan_mode="Max"),
    of_catboost("one against the rest", "CatBoostClassifier", "iris", loss_function="MultiClassOneVsAll"),
    of_catboost("not symmetric", "CatBoostClassifier", "cancer", "unsupported", grow_policy="Depthwise"),
    of_catboost("Poisson", "CatBoostRegressor", "diabetes", "FP32", SILENT, loss_function="Poisson"),
    of_catboost("uncertain", "CatBoostRegressor", "diabetes", "unsupported", loss_function="RMSEWithUncertainty"),
    *(of_catboost(loss, "CatBoostRegressor", "diabetes", loss_function=loss) for loss in ("RMSE", "MAE", "Quantile:alpha=0.8")),
    Case("scaler before CatBoostClassifier", lambda: scaled(catboost("CatBoostClassifier")), "cancer", "FP64"),
]

LIBRARIES = {"xgboost": XGBOOST, "lightgbm": LIGHTGBM, "catboost": CATBOOST}
CASES = [case for library, cases in LIBRARIES.items() if find_spec(library) for case in cases]
